package manifest

// What the tests of this package may see of its inside.

type Key = key

func Schema() []Key { return schema() }

func Later() map[string]string { return later() }

func CeilingKeys() []Key { return ceilingKeys() }

func ProfileKeys() []Key { return profileKeys() }
