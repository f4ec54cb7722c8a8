"""Where the package is not installed, pytest learns of its fixtures here."""

from importlib.metadata import entry_points

is_installed = bool(entry_points(group='pytest11', name='consensual'))
pytest_plugins = [] if is_installed else ['consensual.testing.plugin']
