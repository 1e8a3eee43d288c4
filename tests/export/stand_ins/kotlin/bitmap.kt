// Of Android: a picture of the network's size already.
package android.graphics

class Bitmap(val width: Int, val height: Int, private val argb: IntArray) {
    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(offset == 0 && stride == width && x == 0 && y == 0 && width == this.width && height == this.height)
        argb.copyInto(pixels)
    }

    companion object {
        @JvmStatic
        fun createScaledBitmap(picture: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter && picture.width == width && picture.height == height)
            return picture
        }
    }
}
