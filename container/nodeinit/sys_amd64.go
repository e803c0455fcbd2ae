package nodeinit

const (
	sysSeccomp         = 317
	sysExecveat        = 322
	sysProcessVMWritev = 311
)
