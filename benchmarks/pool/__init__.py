"""How planning the pool of batch jobs, and packing, grow with what there is to plan."""
