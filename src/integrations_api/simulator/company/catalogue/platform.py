"""What everything stands on: databases, networks, servers, storage, certificates, backups."""
# ruff: noqa: E501  (the texts of tickets are as long as they are)

from .shapes import Problem, Theme

DATABASES = Theme(
    category="database",
    subcategory="oracle",
    group="Database Administration",
    services=("Oracle Production", "SQL Server Cluster", "PostgreSQL Platform"),
    problems=(
        Problem(
            titles=(
                "Database on {host} refuses connections",
                "Too many connections on database {host}",
                "{app} cannot connect to its database",
            ),
            details=(
                "{app} reports '{error}' since {time}. All users at {site} are affected.",
                "Monitoring: {count} sessions on {host}, limit reached. New connections are refused.\n\n    FATAL: remaining connection slots are reserved\n",
            ),
            notes=(
                "{count} idle sessions held by {app}; its pool does not give connections back since the release.",
                "Killed the blocking session, {count} waiting ones went through.",
            ),
            comments=("The database is up again; please watch whether {app} stays stable.",),
            fixes=(
                "Connection pool of {app} limited and idle sessions ended; limit on {host} raised for the time being.",
                "Leak fixed in release {version} of {app}.",
            ),
        ),
        Problem(
            titles=(
                "Tablespace on {host} is full",
                "Database {host} out of disk space",
                "Alert: archive log destination {count}% full",
            ),
            details=(
                "Monitoring alert at {time}: tablespace of {app} at 9{digit}%, growth {count} GB a day.",
                "Inserts fail with '{error}': unable to extend. {app} is read only for everybody.",
            ),
            notes=(
                "Archive logs were not deleted because the backup of {weekday} failed.",
                "A trace table has grown to {count} GB; owner {person} agrees to empty it.",
            ),
            comments=("Space has been added, writing works again. We are looking for what grew.",),
            fixes=(
                "Added {count} GB to the tablespace, cleaning job for the trace table set up.",
                "Backup repeated, archive logs released; alert threshold lowered to 80%.",
            ),
        ),
        Problem(
            titles=(
                "Queries of {app} slow since the weekend",
                "Deadlocks in the database of {app}",
                "Nightly job on {host} runs into the morning",
            ),
            details=(
                "Pages of {app} that took a second take {count} since {weekday}. Nothing was released.",
                "Log of {app} is full of deadlocks, about {count} an hour, beginning at {time}.",
            ),
            notes=(
                "Execution plan flipped after the statistics job: nested loop over {count} million rows.",
                "Two jobs update the same tables in different order; moved one of them.",
            ),
            comments=("We have pinned the former execution plan, it should be quick again now.",),
            fixes=(
                "Former plan pinned and histogram rebuilt; response below one second.",
                "Order of the updates made the same in both jobs, no deadlock since.",
            ),
        ),
    ),
)

NETWORK = Theme(
    category="network",
    subcategory="dns",
    group="Network",
    services=("Office Network", "Data Centre Network"),
    problems=(
        Problem(
            titles=(
                "Site {site} has no network",
                "Network outage at {site} since {time}",
                "Line to {site} down",
            ),
            details=(
                "Nobody at {site} has network since {time}, {count} people cannot work. Telephones are dead too.",
                "The line to {site} is down. Router {host} does not answer on {ip}.",
            ),
            notes=(
                "Carrier confirms a cut fibre near the site, ticket with the carrier open.",
                "Backup line did not take over because its route is missing on {host}.",
            ),
            comments=("A digger cut the fibre. The backup line carries the most important services.",),
            fixes=(
                "Fibre spliced by the carrier, both lines up. Failover route corrected and tested.",
                "Power supply of {host} replaced, {site} back online.",
            ),
        ),
        Problem(
            titles=(
                "Name resolution fails for internal hosts",
                "DNS lookup of {host} times out",
                "{app} not reachable by name",
            ),
            details=(
                "{host} cannot be resolved from {site}, by address {ip} it works.",
                "Every few minutes a page of {app} fails with '{error}', the next try works.",
            ),
            notes=(
                "One of two resolvers has a stale zone; serial differs by {count}.",
                "Forwarder on {host} points to a server that was switched off on {weekday}.",
            ),
            comments=("One of our name servers gave old answers, it is taken out for now.",),
            fixes=(
                "Zone transferred again and the resolver put back; answers compared on both.",
                "Dead forwarder removed on {host}.",
            ),
        ),
        Problem(
            titles=(
                "No address from DHCP on {floor} at {site}",
                "DHCP scope exhausted at {site}",
            ),
            details=(
                "Laptops on {floor} at {site} get an address beginning with 169.254 and no network.",
                "{count} people came to {site} for the training, those who came after {time} get no network.",
            ),
            notes=("Scope has {count} leases, all taken; lease time is eight days.",),
            comments=("We are making room in the address range; please reconnect in ten minutes.",),
            fixes=("Scope widened and lease time cut to eight hours at {site}.",),
        ),
    ),
)

SERVERS = Theme(
    category="software",
    subcategory="os",
    group="Server Operations",
    services=("Web Shop", "File Services", "Backup", "Monitoring"),
    problems=(
        Problem(
            titles=(
                "Certificate of {app} expires in {count} days",
                "Browser warns of an expired certificate on {app}",
                "TLS certificate on {host} expired",
            ),
            details=(
                "The browser says that the connection to {app} is not private: certificate expired at {time}.",
                "Monitoring: certificate on {host} ends in {count} days. Interface partners check it strictly.",
            ),
            notes=(
                "Automatic renewal failed since the challenge port was closed by the firewall change on {weekday}.",
                "New certificate issued, chain lacked the intermediate.",
            ),
            comments=("The warning is about an expired certificate, nobody is listening in. A new one is on its way.",),
            fixes=(
                "Certificate renewed on {host} and renewal repaired; monitored 30 days ahead.",
                "Full chain installed, partner confirms that calls go through.",
            ),
        ),
        Problem(
            titles=(
                "Backup of {host} failed",
                "Nightly backup incomplete since {weekday}",
                "Restore of a deleted folder of {team}",
            ),
            details=(
                "The nightly backup of {host} ends with '{error}' for the {count}th time.",
                "Somebody in {team} deleted a folder with {count} files on {weekday}. Please restore it as of {time}.",
            ),
            notes=(
                "Snapshot could not be removed, the volume has no space for a second one.",
                "Restored to a side folder, owner {person} compares.",
            ),
            comments=("Your files are in a folder called 'restored' beside the original, please check them.",),
            fixes=(
                "Old snapshots removed on {host}, backup of last night is complete.",
                "Folder restored from the backup of {weekday}, checked by {person}.",
            ),
        ),
        Problem(
            titles=(
                "Web shop answers with error 500",
                "{app} not reachable, gateway timeout",
                "{app} down after the release",
            ),
            details=(
                "Customers report an error page on {app} since {time}. About {count}% of the calls fail.",
                "After the release {version} {app} answers with 502 from {host}.\n\nHealth check: {error}",
            ),
            notes=(
                "Memory of the pods grows until they are killed; {count} restarts in an hour.",
                "Rolled back to the release before {version}, error rate falls.",
            ),
            comments=("The former version is back and the shop sells again. The cause is being looked for.",),
            fixes=(
                "Rolled back release {version}; a fix for the memory leak follows with the next one.",
                "Configuration of {host} lacked a secret after the move, added and restarted.",
            ),
        ),
        Problem(
            titles=(
                "Disk on {host} nearly full",
                "CPU of {host} at 100% since {time}",
                "Server {host} does not answer",
            ),
            details=(
                "Monitoring alert: file system of {host} at 9{digit}%. {app} runs on it.",
                "{host} ({ip}) does not answer to ping nor to the console since {time}.",
            ),
            notes=(
                "Log files of {app} are not rotated, {count} GB since {weekday}.",
                "Host kernel panicked; crash dump saved for the vendor.",
            ),
            comments=("The server is being restarted, expect {app} back in {count} minutes.",),
            fixes=(
                "Log rotation set up for {app}, {count} GB freed.",
                "Restarted {host} and updated its firmware to {version}.",
            ),
        ),
    ),
)

THEMES = (DATABASES, NETWORK, SERVERS)
