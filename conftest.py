"""Where the package is not installed, pytest learns of its fixtures here."""

pytest_plugins = ['consensual.testing.plugin']
