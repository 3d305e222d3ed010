"""An instance's faults by name."""

from integrations_api.simulator.common.faults import FaultBook
from integrations_api.simulator.common.general_faults import GENERAL

BOOK = FaultBook(GENERAL)
FAULTS = BOOK.known
register = BOOK.register
make_fault = BOOK.make
parse_fault = BOOK.parse
