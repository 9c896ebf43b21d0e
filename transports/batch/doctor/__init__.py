"""The doctor's checks of a batch site, by a trial job."""
