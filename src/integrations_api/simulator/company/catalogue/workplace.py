"""What stands on the desk: laptops, printers, screens, wireless."""
# ruff: noqa: E501  (the texts of tickets are as long as they are)

from .shapes import Problem, Theme

LAPTOPS = Theme(
    category="hardware",
    subcategory="disk",
    group="Workplace Services",
    services=("Client Computing",),
    problems=(
        Problem(
            titles=(
                "Laptop very slow after update",
                "{device} takes {count} minutes to start",
                "Computer slow, fan always running",
            ),
            details=(
                "Since the update on {weekday} the laptop needs {count} minutes until I can work. The fan runs all the time.",
                "Everything is slow on {device}: {app} takes minutes, typing lags behind.\nDisk is at 100% in the task manager.",
            ),
            notes=(
                "Disk has {count} reallocated sectors, drive is failing. Data copied to the server.",
                "Index service and virus scan run at the same time after the update; set the scan to lunch time.",
            ),
            comments=("A replacement drive is ordered; please save your work on the network drive until then.",),
            fixes=(
                "Replaced the solid state drive of {device} and reinstalled from the image.",
                "Update finished after a second restart, search index rebuilt. Start takes 40 seconds.",
            ),
        ),
        Problem(
            titles=(
                "Laptop does not charge in docking station",
                "Docking station: screens stay black",
                "External monitors flicker at {site}",
            ),
            details=(
                "The laptop does not charge in the dock on {floor}, and both screens stay black. Without the dock it works.",
                "The screens at my desk on {floor} at {site} flicker every few minutes since {weekday}.",
            ),
            notes=(
                "Dock firmware is {version}, known to lose displays. Update takes ten minutes.",
                "Swapped cable and power supply, power supply was the wrong wattage.",
            ),
            comments=("There is a spare dock at the service point at {site} if you need one today.",),
            fixes=(
                "Firmware of the docking station updated; both screens stable.",
                "Power supply replaced by the 130 W model, laptop charges.",
            ),
        ),
        Problem(
            titles=(
                "Blue screen on {device} several times a day",
                "Laptop crashes with stop code",
            ),
            details=(
                "The laptop crashes with a blue screen, stop code '{error}', {count} times since {weekday}.",
                "Blue screen whenever I open the lid. Model {device}, last update on {weekday}.",
            ),
            notes=("Mini dumps point at the wireless driver {version}. Same model, same driver on {count} machines.",),
            comments=("We have found the driver and will replace it remotely at {time}, please stay connected.",),
            fixes=("Wireless driver replaced by the version before {version}, no crash for three days.",),
        ),
    ),
)

PRINTERS = Theme(
    category="hardware",
    subcategory="printer",
    group="Workplace Services",
    services=("Print Services",),
    problems=(
        Problem(
            titles=(
                "Printer {printer} prints blank pages",
                "Nothing comes out of printer {printer} at {site}",
                "Print jobs stay in the queue of {printer}",
                "{printer} on {floor} is offline",
            ),
            details=(
                "Jobs sent to {printer} on {floor} stay in the queue. The display says ready. {count} jobs waiting.",
                "{printer} at {site} is shown as offline since {time}. Others on the floor can print elsewhere.",
                "The printer takes the job and gives out blank sheets. Toner was changed on {weekday}.",
            ),
            notes=(
                "Spooler on {host} was stuck on a job of {count} MB. Deleted the job, restarted the spooler.",
                "Printer has a new address {ip} after the power cut, the queue still points to the old one.",
            ),
            comments=("Please use the printer next door for now; your jobs are not lost.",),
            fixes=(
                "Spooler restarted on {host} and the stuck job removed; {printer} prints.",
                "Fixed address reserved for {printer}, queue corrected.",
                "Protective strip of the new toner had not been removed.",
            ),
        ),
        Problem(
            titles=(
                "Scan to mail does not work on {printer}",
                "Scanner of {printer} cannot send documents",
            ),
            details=(
                "Scanning to my mailbox on {printer} fails with '{error}'. Copying works.",
                "Scans of {team} do not arrive since the mail gateway was changed.",
            ),
            notes=("Printer still uses the old relay and TLS 1.0, which {host} refuses since {weekday}.",),
            comments=("You can scan to the network folder until mail works again.",),
            fixes=("New relay entered, firmware raised so that TLS 1.2 is spoken. Test scan arrived.",),
        ),
    ),
)

WIRELESS = Theme(
    category="network",
    subcategory="wireless",
    group="Network",
    services=("Office Wireless",),
    problems=(
        Problem(
            titles=(
                "Wireless very slow on {floor} at {site}",
                "Wi-Fi drops in meeting room {room}",
                "No Wi-Fi at {site}",
            ),
            details=(
                "On {floor} at {site} the wireless is hardly usable, pages take minutes. The cable is fine.",
                "In {room} the laptops lose the Wi-Fi every few minutes, {count} people affected during the workshop.",
            ),
            notes=(
                "Access point {host} has {count} clients on one channel, the neighbour is down.",
                "Interference by a lift control; moved the radio to another channel.",
            ),
            comments=("A technician will be on {floor} at {time} to look at the access point.",),
            fixes=(
                "Replaced the broken access point on {floor}; coverage measured, no gaps.",
                "Channel plan changed and load balancing switched on at {site}.",
            ),
        ),
    ),
)

THEMES = (LAPTOPS, PRINTERS, WIRELESS)
