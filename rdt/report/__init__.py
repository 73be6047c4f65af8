"""The report of an experiment: one page that holds everything it shows, and asks nothing of the network."""
