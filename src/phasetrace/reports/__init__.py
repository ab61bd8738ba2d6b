"""An execution, or two side by side, as one HTML page that needs nothing else and no network.

`document` gathers what the page shows as plain values, `call_tree` and `columns` have its spans in
a form of few bytes, `details` and `packing` what as many of them say as there is room for, and
`page` puts that with the script and the style into one file. The script and the style are built
from ``report-ui`` and kept in ``static`` as they come out of the build.
"""
