"""The tables of tests/orm's Django application as an app with migrations."""
