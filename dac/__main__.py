"""`python -m dac`."""

import sys

from dac.system import imports

with imports.of_what_stays():
    from dac.cli import main

sys.exit(main())
