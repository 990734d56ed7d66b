"""Pictures as callers send them, read with the distrust that they deserve."""
