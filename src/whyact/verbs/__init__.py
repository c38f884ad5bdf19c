"""What each verb of the command does, a file a verb."""
