"""Where executions are recorded: the recorder port, its values, the SQL store and a recorder in memory."""
