"""The table of scores, which evaluations they are of, and the interquartile means of the same runs."""

from __future__ import annotations

from dac.report.item import Item
from dac.report.robust import robust_table
from dac.report.scores import scores_table
from dac.report.selection import selection_table

ITEM = Item(place=0, tables=(scores_table, selection_table, robust_table))
