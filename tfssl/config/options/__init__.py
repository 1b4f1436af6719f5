"""Definitions of all settings: type, default, help text and check.

The flags, the record of a run (`flags.flags`, `flags.json`) and the validation of input are
generated from these classes. Defaults are those of pretraining with --method=simclr: the thesis's
best ResNet-18 with batch size 512 on CIFAR-10 (Tables 3 and 4).

"Table n" in a help text is a table of Sáez Maldonado, *Mutual Information in Self-Supervised
Learning* (Granada, 2021); "SimCLR" is Chen et al., arXiv:2002.05709.
"""
