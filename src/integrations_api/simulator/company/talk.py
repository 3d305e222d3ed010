"""What agents and callers say while a ticket is worked on; texts may name slots in braces (see `company.words`)."""

ENDINGS = (
    "",
    "",
    "",
    "\n\nPlease call me back, I am at my desk until {time}.",
    "\n\nThis blocks the work of {team}.",
    "\n\nBusiness impact: {count} people cannot finish their work.",
    "\n\nThank you and best regards",
    "\n\nSite: {site}\nFloor: {floor}",
    "\n\nIt also happened on {weekday}, then it went away by itself.",
)
ASIDES = (
    "Called the user, no answer. Left a message and will try again at {time}.",
    "Remote session on {device}: could reproduce it once in {count} tries.",
    "Handed over to the late shift. Next step: look at the logs of {host}.",
    "Same symptoms as last week at {site}, linked for comparison.",
    "Asked {person} for the change calendar of {weekday}.",
)
HOLD_NOTES = (
    "Waiting for the user to answer.",
    "Waiting for the vendor, case opened.",
    "Waiting for the change window on {weekday}.",
)
REPLIES = (
    "It happened again at {time}, the message was '{error}'.",
    "Thanks, that helped a little but it is not gone.",
    "I am in the office until {time}, please ring me.",
    "Yes, colleagues in {team} have it as well.",
)
REOPENINGS = ("The problem is back since this morning.", "Unfortunately it is not solved: '{error}' again.")
