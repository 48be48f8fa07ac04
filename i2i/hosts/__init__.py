"""i2i inside programs of others: nodes of ComfyUI, models of spandrel."""
