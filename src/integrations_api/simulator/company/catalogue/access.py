"""Getting in: VPN, single sign-on, passwords, permissions, and those who should not get in."""
# ruff: noqa: E501  (the texts of tickets are as long as they are)

from .shapes import Problem, Theme

VPN = Theme(
    category="network",
    subcategory="vpn",
    group="Network",
    services=("Remote Access VPN",),
    problems=(
        Problem(
            titles=(
                "VPN disconnects every {count} minutes",
                "VPN connection drops when working from home",
                "Remote access unstable, VPN tunnel breaks off",
                "Cannot stay connected to VPN from home office",
            ),
            details=(
                "The VPN client {version} connects but drops after about {count} minutes, then I have to sign in again.\nI am at home on a cable line; other sites are fine.",
                "From the home office the tunnel breaks off several times an hour:\n\n    {time}:12 Tunnel terminated, reason: {error}\n    {time}:40 Reconnecting to {host}\n\nWorking in {app} is impossible.",
                "Since the client was updated to {version} the VPN loses its connection, mostly during video calls.",
            ),
            notes=(
                "Log of the client shows dead peer detection timing out. MTU on the line is 1452, the tunnel uses 1500.",
                "Gateway {host} is at {count}% of its licences, not the cause. Comparing the client version with the working ones.",
                "Reproduced on a test laptop with version {version}. Opened a case with the vendor.",
            ),
            comments=(
                "Could you try with the cable instead of wireless and tell me whether the tunnel still drops?",
                "We have moved you to the second gateway, please reconnect and watch it for an hour.",
            ),
            fixes=(
                "Lowered the MTU of the tunnel adapter to 1350 on {device}; stable for {count} hours.",
                "VPN client {version} rolled back to the version before, the tunnel has not dropped since.",
            ),
        ),
        Problem(
            titles=(
                "VPN login fails with '{error}'",
                "Cannot connect to VPN: certificate error",
                "VPN client rejects my password",
            ),
            details=(
                "Signing in to the VPN fails with '{error}' since {weekday}. The password works everywhere else.",
                "The client says that the certificate has expired. My laptop {device} was off for {count} weeks while I was on leave.",
            ),
            notes=(
                "Machine certificate on {device} expired while the laptop was away and could not renew itself.",
                "Account is missing from the group VPN-Users after the transfer to {team}.",
            ),
            comments=("Please come to the service point at {site} with the laptop, or connect it in the office once.",),
            fixes=(
                "New machine certificate enrolled over the office network, VPN sign-in works.",
                "Added the account to VPN-Users again; sign-in tested with the user on the phone.",
            ),
        ),
    ),
)

SIGN_ON = Theme(
    category="inquiry",
    subcategory="internal application",
    group="Identity and Access",
    services=("Single Sign-On", "Directory Service"),
    problems=(
        Problem(
            titles=(
                "Single sign-on loop when opening {app}",
                "{app} sends me back to the login page again and again",
                "SSO to {app} fails with '{error}'",
            ),
            details=(
                "Opening {app} sends me to the sign-on page, I sign in, and land on the sign-on page again. Other applications are fine.",
                "Single sign-on to {app} ends with '{error}'. {count} colleagues in {team} have the same since {time}.",
            ),
            notes=(
                "Assertion is rejected: clock of {host} is {count} seconds behind, the token counts as not yet valid.",
                "Signing certificate of the identity provider was rolled over on {weekday}; {app} still trusts the old one.",
            ),
            comments=("A private window works as a stopgap until the certificate is replaced.",),
            fixes=(
                "Imported the new signing certificate of the identity provider into {app}.",
                "Time synchronisation repaired on {host}, assertions are accepted again.",
            ),
        ),
        Problem(
            titles=(
                "Account locked out several times a day",
                "User account keeps getting locked",
                "Locked out of Windows after password change",
            ),
            details=(
                "Since I changed my password on {weekday} my account is locked {count} times a day.",
                "Account gets locked again minutes after the service desk unlocks it. I have a phone and a tablet with company mail.",
            ),
            notes=(
                "Lockouts come from {host} with the old password: a saved credential of a mapped drive.",
                "Source of the bad passwords is the mobile mail client; asked the user to update it there too.",
            ),
            comments=("An old password is still saved on one of your devices. Please change it on the phone as well.",),
            fixes=(
                "Cleared stored credentials on {device} and the phone, no lockout for a day.",
                "Removed a scheduled task that ran with the old password.",
            ),
        ),
        Problem(
            titles=(
                "Second factor not accepted after new phone",
                "Lost access to authenticator app",
                "MFA prompt never arrives on mobile",
            ),
            details=(
                "I have a new phone and the authenticator app is empty. I cannot sign in to anything from outside.",
                "The prompt for the second factor does not arrive. Tried {count} times since {time}.",
            ),
            notes=("Identity confirmed by the manager on the phone. Old device removed from the registration.",),
            comments=(
                "I have set a temporary pass that is valid for one hour. Please register the new phone with it now.",
            ),
            fixes=("Re-registered the second factor on the new phone with a temporary access pass.",),
        ),
    ),
)

PERMISSIONS = Theme(
    category="inquiry",
    subcategory="internal application",
    group="Service Desk",
    services=("File Services", "Directory Service"),
    problems=(
        Problem(
            titles=(
                "No access to the {team} share",
                "Access denied on network drive of {team}",
                "Permission missing on shared folder after transfer",
            ),
            details=(
                "I moved to {team} this month and cannot open the share of the department: access denied.\nMy manager {person} has agreed.",
                "Folder on the network drive at {site} cannot be opened any more, '{error}'.",
            ),
            notes=(
                "User is not in the role group of {team}; the transfer was not finished in the HR system.",
                "Approval of {person} attached. Group membership takes effect at the next sign-in.",
            ),
            comments=("Please sign out and in again; the permission is in place.",),
            fixes=(
                "Added the user to the role group of {team}, access confirmed.",
                "Inheritance on the folder was broken; restored and checked with the owner {person}.",
            ),
        ),
        Problem(
            titles=(
                "New starter in {team} has no accounts",
                "Onboarding: accounts for new colleague missing",
            ),
            details=(
                "A new colleague starts in {team} at {site} on {weekday}, there is neither an account nor a laptop.",
                "Onboarding for {team}: the new starter can sign in but has no mailbox and no {app}.",
            ),
            notes=("HR record was approved {count} days late, provisioning had skipped it. Started by hand.",),
            comments=("The accounts are being made now; the laptop can be fetched at the service point at {site}.",),
            fixes=("All accounts provisioned, laptop {device} handed out.",),
        ),
    ),
)

SECURITY = Theme(
    category="inquiry",
    subcategory="antivirus",
    group="Security Operations",
    services=("Endpoint Protection", "Mail Gateway"),
    problems=(
        Problem(
            titles=(
                "Suspicious e-mail asking for password",
                "Phishing mail received by {team}",
                "Clicked on a link in a phishing message",
            ),
            details=(
                "{count} people in {team} got a mail that pretends to come from the service desk and asks for the password.",
                "I clicked on the link in a message about an unpaid invoice and typed my password before I noticed.",
            ),
            notes=(
                "Message pulled from {count} mailboxes. Sender domain and the link are blocked at the gateway {host}.",
                "Sessions of the account revoked, no sign-in from abroad seen.",
            ),
            comments=(
                "Thank you for telling us at once. Please change the password now and do not use the old one anywhere.",
            ),
            fixes=("Password reset, sessions revoked, message removed from all mailboxes and sender blocked.",),
        ),
        Problem(
            titles=(
                "Antivirus reports malware on {device}",
                "Endpoint protection quarantined a file of {app}",
            ),
            details=(
                "A window of the virus protection says that a threat was found on {device} and quarantined.",
                "After the signature update at {time} the protection moved a file of {app} into quarantine; it does not start.",
            ),
            notes=(
                "Hash is known as harmless, false positive of today's signatures. Vendor informed.",
                "Machine isolated from the network, full scan running.",
            ),
            comments=("Please leave the computer switched on; we are examining it remotely.",),
            fixes=(
                "False positive: exclusion added, file restored, new signatures rolled out.",
                "Adware removed, full scan clean, isolation lifted.",
            ),
        ),
    ),
)

THEMES = (VPN, SIGN_ON, PERMISSIONS, SECURITY)
