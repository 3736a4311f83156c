// Is a page worth giving to LZ4? Guesses that cost a fraction of trying, and when wrong cost
// only memory: the page is then stored as it is.
//
// Incompressible pages come in runs (media, archives, ciphertext), so the guess looks closer
// after a page that turned out to be one. Between pages that compress it only tells noise,
// and the encoder gives up by itself (lz4_page.h).
#ifndef TMEMD_ENGINE_INCOMPRESSIBLE_H_
#define TMEMD_ENGINE_INCOMPRESSIBLE_H_

#include <cstddef>

namespace tmemd {

// Of 4096 bytes nobody writes to meanwhile. `afterOne`: the page before was stored as it is.
bool looksIncompressible(const std::byte* page, bool afterOne);

}  // namespace tmemd

#endif  // TMEMD_ENGINE_INCOMPRESSIBLE_H_
