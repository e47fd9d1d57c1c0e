"""What the paper shows: its printed numbers, Tables 1 to 4, Figs. 3 to 7, statistics and claims."""
