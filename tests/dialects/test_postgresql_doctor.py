"""The doctor and the grants of PostgreSQL, on further versions of it."""

from tests.engines.test_doctor import (
    pg,
    plain,
    test_a_membership_that_is_not_inherited_is_no_right,
    test_a_probe_that_is_refused_leaves_the_right_unknown,
    test_any_role_name_is_quoted_right,
    test_connect_on_every_database_is_as_good,
    test_postgresql_misses_a_right_and_its_cure_is_enough,
    test_postgresql_s_script_is_enough,
    test_the_doctor_s_session_in_postgresql_reads_only,
    test_the_third_script_lets_a_login_in_where_nobody_may,
)

__all__ = [
    "pg",
    "plain",
    "test_a_membership_that_is_not_inherited_is_no_right",
    "test_a_probe_that_is_refused_leaves_the_right_unknown",
    "test_any_role_name_is_quoted_right",
    "test_connect_on_every_database_is_as_good",
    "test_postgresql_misses_a_right_and_its_cure_is_enough",
    "test_postgresql_s_script_is_enough",
    "test_the_doctor_s_session_in_postgresql_reads_only",
    "test_the_third_script_lets_a_login_in_where_nobody_may",
]
