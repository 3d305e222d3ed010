"""Where the money flows: ERP, payroll, customers, reports."""
# ruff: noqa: E501  (the texts of tickets are as long as they are)

from .shapes import Problem, Theme

ERP = Theme(
    category="software",
    subcategory="internal application",
    group="Business Applications",
    services=("ERP Finance", "ERP Logistics"),
    problems=(
        Problem(
            titles=(
                "ERP: posting invoices fails with '{error}'",
                "Cannot post supplier invoices in ERP",
                "Invoice posting hangs in ERP Finance",
            ),
            details=(
                "Posting supplier invoices ends with '{error}' since {time}. {count} invoices of {team} are waiting, month-end closing is on {weekday}.",
                "When I post an invoice the hourglass turns for minutes, then:\n\n    {error}\n    Session 0{count} on {host}\n\nReading works.",
            ),
            notes=(
                "Number range for documents of company code {count} is used up for this year.",
                "Update task on {host} stopped at {time}; {count} records in the update queue.",
                "Period is closed for the ledger, opened by controlling only for some accounts.",
            ),
            comments=("Please do not post the same invoices again, the first attempt is still in the queue.",),
            fixes=(
                "Extended the number range, all {count} waiting invoices posted.",
                "Update task restarted on {host}, queue processed without a loss.",
            ),
        ),
        Problem(
            titles=(
                "Orders from the web shop do not reach the ERP",
                "Interface shop to ERP stopped at {time}",
                "IDocs with status error in the order interface",
            ),
            details=(
                "Since {time} no order of the web shop arrives in the ERP. {count} orders missing according to sales at {site}.",
                "The monitor of the interface shows {count} messages in error, text '{error}'.",
            ),
            notes=(
                "Messages fail on a material number with a trailing blank, one faulty message blocks the queue.",
                "Password of the interface user expired on {weekday}.",
            ),
            comments=("No order is lost: they wait at the shop and will be sent once the interface runs.",),
            fixes=(
                "Faulty message taken out, queue restarted, {count} orders booked.",
                "Interface user set to a system user whose password does not expire; messages processed again.",
            ),
        ),
        Problem(
            titles=(
                "ERP very slow in the afternoon",
                "Response times of {app} above {count} seconds",
            ),
            details=(
                "Every afternoon the ERP is slow, each screen takes {count} seconds. The whole of {team} at {site} complains.",
                "Stock list runs for {count} minutes instead of seconds since the release on {weekday}.",
            ),
            notes=(
                "Statement on the stock table does a full scan, statistics are from before the release.",
                "A mass report of controlling starts at {time} and takes all dialog processes.",
            ),
            comments=("We have found a report that takes all the processes and are moving it into the night.",),
            fixes=(
                "Statistics renewed and an index added; the stock list takes {count} seconds.",
                "Report moved to the night, response times back to normal.",
            ),
        ),
    ),
)

PAYROLL = Theme(
    category="software",
    subcategory="internal application",
    group="HR Systems",
    services=("Payroll", "Time Recording"),
    problems=(
        Problem(
            titles=(
                "Payroll run for {month} aborted",
                "Payroll calculation stops with '{error}'",
                "Salary run {month} incomplete: {count} employees missing",
            ),
            details=(
                "The payroll run for {month} stopped at employee {count} with '{error}'. The bank file must leave on {weekday} before {time}.",
                "After the run for {month}, {count} people at {site} are without a result.\nCorrection run tried twice, same message.",
            ),
            notes=(
                "Wage type without an account for employees who changed cost centre in {month}.",
                "Calculation server {host} ran out of temporary space at {time}.",
            ),
            comments=("The bank accepts the file until tomorrow noon; the salaries will be on time.",),
            fixes=(
                "Account assignment of the wage type completed, run repeated, bank file sent.",
                "Temporary space enlarged on {host}; run for {month} finished without errors.",
            ),
        ),
        Problem(
            titles=(
                "Payslip not visible in the portal",
                "Employees cannot download payslips for {month}",
                "Payslip portal shows the wrong month",
            ),
            details=(
                "My payslip for {month} is not in the portal, colleagues of {team} have theirs.",
                "Since {time} opening a payslip ends with '{error}'.",
            ),
            notes=("Document store could not be reached by {host} while the slips were published; {count} missing.",),
            comments=("The salary is correct, only the document is missing. It will be published again tonight.",),
            fixes=("Payslips for {month} published again; sample of ten checked with HR.",),
        ),
        Problem(
            titles=(
                "Time clock at {site} does not accept badges",
                "Time recording terminal offline at {site}",
            ),
            details=(
                "The terminal at the entrance of {site} shows '{error}' and takes no badge since {time}. {count} people could not stamp in.",
                "Working times of {weekday} are missing in time recording for all of {team}.",
            ),
            notes=(
                "Terminal {ip} has no connection to {host}; switch port went into error state after the power cut.",
            ),
            comments=("Please write the times down; HR enters them by hand.",),
            fixes=("Port enabled again, the terminal sent its {count} stored bookings.",),
        ),
    ),
)

CUSTOMERS = Theme(
    category="software",
    subcategory="internal application",
    group="Business Applications",
    services=("CRM", "Reporting"),
    problems=(
        Problem(
            titles=(
                "CRM shows no customer history",
                "Customer search in CRM returns nothing",
                "CRM opens with an empty page",
            ),
            details=(
                "Searching for customers in the CRM gives no result since {time}, not even for names I know.",
                "The page with the history stays empty. Browser console says '{error}'. {count} people of {team} affected.",
            ),
            notes=(
                "Search index on {host} is read only: disk at 95%.",
                "New release cached the wrong script; clearing the browser cache helps.",
            ),
            comments=("The data are all there, only the search index has to be rebuilt.",),
            fixes=(
                "Disk space freed on {host}, index rebuilt in {count} minutes.",
                "Cache headers corrected and the release rolled out again.",
            ),
        ),
        Problem(
            titles=(
                "Sales report of {month} shows wrong numbers",
                "Dashboard not updated since {weekday}",
                "Nightly data warehouse load failed",
            ),
            details=(
                "The dashboard for {team} still shows the numbers of {weekday}. Management meeting is at {time}.",
                "The report for {month} has {count}% less revenue than the ERP.",
            ),
            notes=(
                "Nightly load aborted with '{error}' on {host}, all later steps were skipped.",
                "A new branch is missing from the mapping table, its revenue is dropped in silence.",
            ),
            comments=("We are loading again now; the numbers will be right in about {count} minutes.",),
            fixes=(
                "Load repeated from the failed step; a check now alerts when a step is skipped.",
                "Branch added to the mapping table, {month} loaded again and compared with the ERP.",
            ),
        ),
    ),
)

THEMES = (ERP, PAYROLL, CUSTOMERS)
