"""The stores that these tests are run on."""

from tests.stores import (  # noqa: F401 -- pytest finds the fixtures here
    instance_id,
    lent_url,
    postgres_store,
    postgres_template,
    real_store,
    sqlite_template,
    store,
    store_url,
)
