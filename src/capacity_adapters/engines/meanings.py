"""What a row of an engine's table of errors says: the reason, its cause, and the cure as SQL."""

from attrs import frozen

from capacity_core.messages import text
from capacity_core.model import Failure, Reason, sql_cure


@frozen
class Meaning:
    """`cause` chooses among the hints of a reason; `cure` is SQL with blanks for names.

    `find` is SQL that finds the account's host, where `cure` can only suppose it.
    """

    reason: Reason
    cause: str = ""
    cure: str = ""
    find: str = ""

    def failure(self, **names: str) -> Failure:
        """Say it with names that are spelled as SQL; without any there is no cure to run."""
        if not self.cure or not names:
            return Failure.of(self.reason, self.cause, cure="")
        sql, find = self.cure.format(**names), self.find.format(**names)
        cure = text("cure.account", sql=sql, find=find) if find else sql_cure(sql)
        return Failure.of(self.reason, self.cause, cure=cure)
