"""The plots of the demo, two per diagnostic; drawn without pyplot, which keeps figures and needs a display."""
