// Package images tests images as users meet them: the commands, Docker's own images, labs that run from them.
package images
