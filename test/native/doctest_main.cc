// doctest itself and its main(), compiled once for all tests: it takes longer than any of them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
