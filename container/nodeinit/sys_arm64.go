package nodeinit

const (
	sysSeccomp         = 277
	sysExecveat        = 281
	sysSetns           = 268
	sysProcessVMWritev = 271

	elfMachine = 183 // e_machine of its programs
)
