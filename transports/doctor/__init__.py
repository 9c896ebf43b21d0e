"""What is checked of a site before the first real run; `examination.examine` is the door."""
