package nodeinit

const (
	sysSeccomp         = 277
	sysExecveat        = 281
	sysSetns           = 268
	sysProcessVMWritev = 271
)
