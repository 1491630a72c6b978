"""``vitrine jobs``, the kinds of jobs, and what runs in the process of one."""
