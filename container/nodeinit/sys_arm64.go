package nodeinit

const sysSeccomp = 277
