"""Settlements as the tests of Firestore write them."""

from tests.contract.claims import T, done, later

DONE = done()
DUE = later(T)
