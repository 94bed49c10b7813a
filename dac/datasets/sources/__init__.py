"""What is done with the data of each source: a module for every record of `dac.study.sources`, of its name.

Its functions:
    load(dataset)              rows, and their sha256: of the file where they are one, else of the contents
    fetch(dataset, mirrors)    bring them here, ready to train on; UserError where that is not how they come here
    identify(name, mirrors)    only where an identity may be known no sooner: bring here what it is read off
    place(dataset, mirrors)    only where they are not made here: where `fetch` would take them from, in words
Each raises UserError where the data cannot be had, are not usable, or are not what their identity says.
"""
