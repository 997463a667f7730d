#include "simt/site.h"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <map>

#include "simt/text.h"

namespace simt {

static std::string look_up(const void *pc) {
    Dl_info info;
    if (!dladdr(pc, &info)) return format("%p", pc);
    // The return address lies behind the call.
    size_t offset = (size_t)((const char *)pc - (const char *)info.dli_fbase - 1);
    std::string command = format("addr2line -e '%s' 0x%zx 2>/dev/null", info.dli_fname, offset);
    char line[1024] = "";
    if (FILE *pipe = popen(command.c_str(), "r")) {
        if (!fgets(line, sizeof line, pipe)) line[0] = 0;
        pclose(pipe);
    }
    line[strcspn(line, " \n")] = 0;
    const char *slash = strrchr(line, '/');
    if (!line[0] || line[0] == '?') return format("%s+0x%zx", info.dli_fname, offset);
    return slash ? slash + 1 : line;
}

std::string to_string(const Site &site) {
    static std::map<const void *, std::string> known;
    if (site.line >= 0) return to_string(Where{(const char *)site.code, site.line});
    std::string &text = known[site.code];
    if (text.empty()) text = look_up(site.code);
    return text;
}

} // namespace simt
