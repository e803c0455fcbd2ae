package nodeinit

const (
	sysSeccomp         = 277
	sysExecveat        = 281
	sysProcessVMWritev = 271
)
