"""Messages of diagnostics that are not plain text, and how they are shown."""

from typing import Final

SHOWN: Final = {
    "units are [degC], not [K], on [lat, lon]": "units are [degC], not [K], on [lat, lon]",
    "nothing found in [/data/CMIP6]": "nothing found in [/data/CMIP6]",
    "see [link=http://127.0.0.1]here[/link] [bold red]": "see [link=http://127.0.0.1]here[/link] [bold red]",
    "10:100:1000 :warning:": "10:100:1000 :warning:",
    "{label} {0} %s %(x)d ${HOME}": "{label} {0} %s %(x)d ${HOME}",
    "\x1b]0;title\x07 and \x1b[2J": r"\x1b]0;title\x07 and \x1b[2J",
    "C1 \x9b31m \x85 and \x7f": r"C1 \x9b31m \x85 and \x7f",
    "file\u202eexe.cn \u2066x \u200b.": r"file\u202eexe.cn \u2066x \u200b.",
    "half \udcff of a character": r"half \udcff of a character",
    "over\rwritten \x0c \x00": r"over\rwritten \x0c \x00",
    "line \u2028 separator": r"line \u2028 separator",
    "3 °C, 中文, 🌍, 10\N{NO-BREAK SPACE}hPa": "3 °C, 中文, 🌍, 10\N{NO-BREAK SPACE}hPa",
    "<script>alert(1)</script> <img src=x>": "<script>alert(1)</script> <img src=x>",
    "![plot](http://127.0.0.1/x.png) **bold** `code` ``": "![plot](http://127.0.0.1/x.png) **bold** `code` ``",
}
"""By what is said."""
