"""The results of the paper: its printed numbers, Tables 1 to 4, Figs. 3 to 7, statistics and claims."""
