"""Mail, calendars, meetings and telephones."""
# ruff: noqa: E501  (the texts of tickets are as long as they are)

from .shapes import Problem, Theme

MAIL = Theme(
    category="software",
    subcategory="email",
    group="Messaging",
    services=("Corporate Mail", "Mail Gateway"),
    problems=(
        Problem(
            titles=(
                "Outlook does not receive new mail since {time}",
                "No new e-mails arriving in Outlook",
                "Mailbox stuck on 'Updating inbox' in Outlook {version}",
                "E-mail stopped arriving for the {team} team",
            ),
            details=(
                "Since {time} no new messages appear in Outlook {version}. The status bar says 'Updating inbox' and stays there.\nWebmail on the same account works.",
                "Colleagues in {team} say they have written to me several times this morning, nothing arrives.\n\nSteps tried:\n- restarted Outlook\n- restarted {device}\n- webmail shows the messages",
                "Inbox is frozen at {time}. Sent items do leave. {count} people on {floor} at {site} see the same.",
            ),
            notes=(
                "OST file of the profile has grown to {count} GB, Outlook cannot append to it. Renamed it so that it is rebuilt.",
                "Checked the transport queue on {host}: {count} messages deferred with '{error}'.",
                "Mailbox is healthy on the server side, so this is the local cache. Asked the user for a time slot for a remote session.",
            ),
            comments=(
                "Webmail keeps working, so please use it until we have rebuilt the local mailbox file.",
                "We can see your messages on the server. Nothing is lost.",
            ),
            fixes=(
                "Rebuilt the Outlook profile and the OST cache file on {device}; all mail since {time} is there again.",
                "Restarted the transport service on {host}, the deferred queue of {count} messages was delivered.",
            ),
        ),
        Problem(
            titles=(
                "Mailbox over quota, cannot send mail",
                "'Your mailbox is full' when sending e-mail",
                "Shared mailbox of {team} has reached its size limit",
            ),
            details=(
                "Outlook refuses to send: the mailbox is full. I have deleted what I could, {count} MB are left.\nI need to send the monthly figures today.",
                "The shared mailbox of {team} is over its quota and bounces what customers write, error '{error}'.",
            ),
            notes=(
                "Quota is 50 GB, used 49.{count} GB. Online archive was never switched on for this mailbox.",
                "Archive policy applied, the managed folder assistant needs about a night to move the old items.",
            ),
            comments=(
                "I have raised the limit for a week so that you can send; the archive will make room by itself.",
            ),
            fixes=(
                "Enabled the online archive and applied the two-year retention policy. Mailbox is down to {count}% of its quota.",
                "Raised the quota of the shared mailbox and moved items older than a year to the archive.",
            ),
        ),
        Problem(
            titles=(
                "Mail to external customers bounces with {error}",
                "External recipients reject our e-mail",
                "Messages to partner domain returned as undeliverable",
            ),
            details=(
                "Every message to one partner comes back as undeliverable:\n\n    550 5.7.1 {error}\n\nInternal mail is fine. {count} offers are waiting.",
                "Since yesterday customers do not get our messages. The bounce names our mail gateway {host} ({ip}).",
            ),
            notes=(
                "{ip} is on a block list since {time}; an infected account sent {count} messages last night. Asked for delisting.",
                "SPF record lacks the new gateway {host}. Change request raised for DNS.",
            ),
            comments=(
                "The receiving side refuses our gateway for the moment. We have asked for removal from the block list.",
            ),
            fixes=(
                "SPF and DKIM corrected for the new gateway; test messages to three outside domains were accepted.",
                "Gateway address removed from the block list, the compromised account is locked and its password was changed.",
            ),
        ),
    ),
)

MEETINGS = Theme(
    category="inquiry",
    subcategory="internal application",
    group="Collaboration",
    services=("Team Meetings", "Room Booking"),
    problems=(
        Problem(
            titles=(
                "No sound in online meetings",
                "Others cannot hear me in video calls",
                "Headset microphone not recognised in meetings",
            ),
            details=(
                "In every meeting the others cannot hear me although the headset is plugged into {device}. The test call is silent too.",
                "Sound works in the browser but not in the meeting client {version}.\nHappens since the update on {weekday}.",
            ),
            notes=(
                "Meeting client has the docking station selected as microphone, not the headset.",
                "Driver for the headset was replaced by a generic one by the update on {weekday}.",
            ),
            comments=(
                "Please choose the headset under Devices in the meeting client and tell me whether the test call works.",
            ),
            fixes=(
                "Selected the headset as the default audio device and rolled back the sound driver on {device}.",
                "Removed the old audio driver, microphone permission for the meeting client granted. Test call fine.",
            ),
        ),
        Problem(
            titles=(
                "Meeting room {room} shows as booked but is free",
                "Calendar of room {room} out of step with the door panel",
                "Cannot book room {room}: invitation declined",
            ),
            details=(
                "The panel at the door of {room} says it is booked all day, the calendar says it is free. Invitations are declined.\nSite: {site}, {floor}.",
                "Booked {room} for {time}, got 'declined' although nobody is in the calendar.",
            ),
            notes=(
                "Room mailbox has a series without an end by somebody who has left. Booking assistant keeps declining because of it.",
                "Door panel lost its network at {time} and shows the last state.",
            ),
            comments=("A colleague who has left had booked the room for ever. We are removing that series.",),
            fixes=("Removed the endless series from the calendar of {room} and restarted the door panel.",),
        ),
    ),
)

TELEPHONY = Theme(
    category="hardware",
    subcategory="telephone",
    group="Network",
    services=("Telephony",),
    problems=(
        Problem(
            titles=(
                "Desk phone at {site} shows 'not registered'",
                "Telephones on {floor} at {site} have no dial tone",
                "Softphone drops calls after about {count} seconds",
            ),
            details=(
                "The phones of {team} on {floor} show 'not registered' since {time}. Incoming calls go to voice mail.",
                "Calls break off after about {count} seconds, in both directions. The call centre at {site} cannot work like this.",
            ),
            notes=(
                "Phones get no address: voice VLAN is missing on the access switch {host} after last night's change.",
                "SIP session timer ends the calls, the firewall rule for {ip} drops the re-invite.",
            ),
            comments=("Calls to your numbers are forwarded to mobile phones until the desk phones are back.",),
            fixes=(
                "Voice VLAN restored on {host}; all phones on {floor} have registered again.",
                "Firewall session helper corrected, a test call of 20 minutes stayed up.",
            ),
        ),
    ),
)

THEMES = (MAIL, MEETINGS, TELEPHONY)
