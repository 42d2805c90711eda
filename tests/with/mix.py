"""What the applications here are asked for: what those of tests/orm are, and two kinds more."""

import users

# A transaction that says that it only reads, and a query in plain SQL through whatever the library has for that.
MIX = users.MIX | {"report": 8, "raw": 8}
