"""The demo: all of it at work on one machine, told step by step. Starts what others run; knows no rule of theirs."""
