"""Every knob of tfssl, once: its type, default, meaning and check.

The command line, the record of a run (`flags.flags`, `flags.json`) and the checks of bad input are
all made from these classes. Their defaults are those of pretraining with --method=simclr: the
thesis's best ResNet-18 of batch 512 on CIFAR-10 (Tables 3 and 4).

"Table n" in a help text is a table of Sáez Maldonado, *Mutual Information in Self-Supervised
Learning* (Granada, 2021); "SimCLR" is Chen et al., arXiv:2002.05709.
"""
