"""``mailer send --csv``: one mail for each row of a CSV file, in flat memory, to be stopped and taken up again."""

from .command import send_rows
from .options import BulkOptions, bulk_options

__all__ = ["BulkOptions", "bulk_options", "send_rows"]
