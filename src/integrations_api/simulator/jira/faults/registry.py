"""A site's faults by name."""

from integrations_api.simulator.common.faults import FaultBook
from integrations_api.simulator.common.general_faults import GENERAL

BOOK = FaultBook(GENERAL)
register = BOOK.register
