"""Tests against other people's receivers for models: real servers, and what they say they have.

MLflow and Phoenix, each from its own package. They cannot be installed into one environment, so
each is looked for beside Python and on ``PATH``; where there is none its tests are skipped. They
take a minute, and are asked for by name::

    PATH=/one/bin:/other/bin:$PATH python -m pytest -m slow tests/receivers
"""
