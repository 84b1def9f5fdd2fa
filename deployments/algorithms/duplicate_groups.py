choose_keeper = group_duplicates = None
