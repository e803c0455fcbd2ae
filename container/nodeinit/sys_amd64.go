package nodeinit

const sysSeccomp = 317
