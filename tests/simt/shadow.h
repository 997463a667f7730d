// shadow.h: who last touched each byte. A cell remembers two bytes: the last write, and all
// that was read, or changed by atomics, since.
#ifndef QUERN_TESTS_SIMT_SHADOW_H
#define QUERN_TESTS_SIMT_SHADOW_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "simt/site.h"

namespace simt {

constexpr size_t kCellBytes = 2;

struct Write {
    uint32_t block = 0, agent = 0, epoch = 0; // epoch 0: never written
    uint8_t bytes = 0;                        // of the cell
    bool copy = false;                        // by an asynchronous engine
    Site site;
};

// Reads, or atomic operations, of lanes of one warp in one epoch. An engine is its own warp.
struct Touch {
    uint32_t block, first_agent, lanes, epoch;
    uint8_t bytes;
    bool atomic, copy;
    Site site;
};

struct Cell {
    uint32_t stamp = 0;
    Write write;
    std::vector<Touch> touches;
};

// Cells of a piece of memory, made when first touched.
class ShadowMemory {
  public:
    explicit ShadowMemory(size_t bytes)
        : pages_((bytes + kPageCells * kCellBytes - 1) / (kPageCells * kCellBytes)) {}

    // The cell of a byte; empty when what it holds has another stamp: that of an earlier
    // block, or an earlier launch.
    Cell &at(size_t byte, uint32_t stamp) {
        size_t index = byte / kCellBytes;
        std::unique_ptr<Cell[]> &page = pages_[index / kPageCells];
        if (!page) page.reset(new Cell[kPageCells]);
        Cell &cell = page[index % kPageCells];
        if (cell.stamp != stamp) {
            cell.stamp = stamp;
            cell.write = Write();
            cell.touches.clear();
        }
        return cell;
    }

  private:
    static constexpr size_t kPageCells = 256;
    std::vector<std::unique_ptr<Cell[]>> pages_;
};

} // namespace simt

#endif
