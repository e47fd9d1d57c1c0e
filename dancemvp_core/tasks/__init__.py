"""The three downstream tasks: splits, features, protocols, measures, floors, and the outcomes of all rows."""
