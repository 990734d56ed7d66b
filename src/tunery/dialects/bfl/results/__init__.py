"""How a task stands, be it a finetune or an image."""
