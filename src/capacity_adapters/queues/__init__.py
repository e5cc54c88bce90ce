"""Workers that collect the runs of a store: embedded in this process, or on many machines."""
